"""`python -m smsbridge` is the console script."""

from smsbridge import cli

if __name__ == "__main__":
    cli.main()

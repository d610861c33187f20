"""`python -m smsbridge_operator`."""

from smsbridge_operator.main import main

if __name__ == "__main__":
    main()

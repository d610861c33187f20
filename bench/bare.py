"""The yardstick: an aiohttp handler that reads a form, looks at one field and answers.

Runs as a program: `python -m bench.bare PORT`.
"""

import sys

from aiohttp import web


async def _handler(request: web.Request) -> web.Response:
    form = await request.post()
    return web.Response(text="ok" if form.get("message_id") else "no")


def main() -> None:
    application = web.Application()
    application.router.add_post("/handler", _handler)
    web.run_app(application, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)


if __name__ == "__main__":
    main()

"""Posts as a portal makes them, byte for byte: the sandbox's own writer fills in what differs.

The bench's process and its load generator make the same letter out of the same few fields, so that no bodies
travel between them, and rows of the portal can be made for posts that another process sends.
"""

import hashlib
import time

from pydantic import BaseModel, ConfigDict, Field

from smsbridge.sandbox import php, portal_posts
from smsbridge.sandbox.orders import MessageOrigin


class Letter(BaseModel):
    """`count` messages to one door, to numbers that everything is delivered to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(description="where it is posted to")
    count: int = Field(ge=1, description="messages")
    salt: str = Field(description="makes its message ids its own")
    first: int = Field(default=0, ge=0, description="its first number; two letters must not share any")
    origin: MessageOrigin = Field(
        default=MessageOrigin.MARKETING, description="part of the portal it is from"
    )
    code: str = Field(default="", description="code of the sender")
    text: str = Field(default="Скидка 20 % на всё до воскресенья.", description="`{n}` makes each another")
    auth: list[tuple[str, str]] = Field(default_factory=list, description="auth[...] of the post")
    connections: int = Field(default=256, ge=1, description="posts under way at once")
    per_second: float = Field(default=0.0, ge=0, description="at set times; 0: as fast as it is answered")

    def phone(self, number: int) -> str:
        """Only endings 00 to 79: the sandbox delivers them by whatever channel."""
        whole = self.first + number
        return f"+7999{whole // 80 * 100 + whole % 80:07d}"

    def message_id(self, number: int) -> str:
        return hashlib.md5(f"{self.salt}{number}".encode(), usedforsecurity=False).hexdigest()

    def bodies(self) -> list[bytes]:
        write = portal_posts.message_form(self.origin, code=self.code, auth=self.auth)
        now = int(time.time())
        texts = self.text.split("{n}")
        return [
            write(
                self.message_id(number),
                php.encode(self.phone(number)),
                php.encode(str(number).join(texts)),
                now,
            )
            for number in range(self.count)
        ]

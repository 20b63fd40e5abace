"""The words for what a person is; apart from the models, so that permissions and schemas need no tables."""

from enum import StrEnum


class Role(StrEnum):
    EDITOR = "editor"
    MODERATOR = "moderator"
    OWNER = "owner"


class Status(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"


class Theme(StrEnum):
    DARK = "dark"
    LIGHT = "light"


MANAGERS = (Role.MODERATOR, Role.OWNER)

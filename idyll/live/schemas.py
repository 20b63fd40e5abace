from marshmallow import fields

from ..fields import Creation, Moment, Schema, Whole


class Authenticate(Schema):
    EXAMPLE = {"token": "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"}

    token = fields.String(required=True, metadata={"description": "A new access token of the same person"})


class Authenticated(Schema):
    EXAMPLE = {"expiresAt": "2026-01-05T09:45:00.000Z"}

    expires_at = Moment(required=True)


class Sync(Creation):
    EXAMPLE = {"since": "e41-1a2b3c4d"}

    since = fields.String(metadata={"description": "`lastEventId` of the answer before; without it no events"})
    limit = Whole(1, 500, load_default=100)

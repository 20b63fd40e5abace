from marshmallow import fields

from ..fields import Id, Schema


def counts() -> fields.Dict:
    """Every word of an enumeration with how many there are."""
    return fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)


class StatsQuery(Schema):
    user_id = Id(metadata={"description": "One person's numbers: oneself, or anybody's for managers"})


class PeopleStats(Schema):
    total = fields.Integer(required=True)
    by_role = counts()
    by_status = counts()


class ApplicationStats(Schema):
    by_status = counts()


class TaskStats(Schema):
    total = fields.Integer(required=True)
    by_status = counts()
    overdue = fields.Integer(required=True)


class MeetingStats(Schema):
    upcoming = fields.Integer(required=True)


class Sums(Schema):
    count = fields.Integer(required=True)
    sums = fields.Dict(keys=fields.String(), values=fields.Float(), required=True)


class PayoutStats(Schema):
    by_status = fields.Dict(keys=fields.String(), values=fields.Nested(Sums), required=True)


class StatsOut(Schema):
    """For one person, the people's and applications' numbers are zero."""

    EXAMPLE = {
        "users": {
            "total": 12,
            "byRole": {"editor": 9, "moderator": 2, "owner": 1},
            "byStatus": {"pending": 1, "approved": 10, "rejected": 1},
        },
        "applications": {"byStatus": {"pending": 2, "approved": 7, "rejected": 1}},
        "tasks": {
            "total": 60,
            "byStatus": {"pending": 20, "in-progress": 15, "completed": 22, "blocked": 3},
            "overdue": 4,
        },
        "meetings": {"upcoming": 3},
        "payouts": {
            "byStatus": {
                "pending": {"count": 2, "sums": {"INR": 1500.5}},
                "approved": {"count": 0, "sums": {}},
                "paid": {"count": 0, "sums": {}},
                "rejected": {"count": 0, "sums": {}},
                "cancelled": {"count": 0, "sums": {}},
            }
        },
    }

    users = fields.Nested(PeopleStats, required=True)
    applications = fields.Nested(ApplicationStats, required=True)
    tasks = fields.Nested(TaskStats, required=True)
    meetings = fields.Nested(MeetingStats, required=True)
    payouts = fields.Nested(PayoutStats, required=True)

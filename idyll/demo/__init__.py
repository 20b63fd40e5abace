"""A believable agency to look at: people, work, money and talk of some weeks.

Every step goes through the service that a request would call, each at its time: events, audit rows and notifications
are what they would have been.
"""

"""What spans people, applications, sessions and work: registering, deciding on, inviting and removing a person."""

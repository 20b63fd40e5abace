"""What spans people, applications, sessions and their work: registering, deciding on, inviting and removing a person."""

"""What an attacker tries, with real processes and real users."""

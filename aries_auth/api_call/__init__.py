"""One call to the API: where the token may go, whether a body can be sent again, and the one resend."""

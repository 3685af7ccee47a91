"""Who may do what: tokens, sign-ins, owners, rates of requests, the audit."""

"""What API, pages and command line all show."""

"""What each test of a study comes to, as tidy tables: a file a subject, one function a test."""

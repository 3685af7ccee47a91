"""Three small tasks on made-up data that use all that the contract between tasks and engine offers."""

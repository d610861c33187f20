"""Takes messages, groups them into batches, sends each once, settles what is uncertain."""

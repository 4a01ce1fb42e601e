"""What the machine has for the engine: processors, threads and memory."""

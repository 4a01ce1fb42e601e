"""What is told of networks, trainings and files: tables, times, sizes."""

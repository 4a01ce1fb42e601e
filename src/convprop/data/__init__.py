"""Images and labels: from arrays, idx files, .npz files, image folders and named sets."""

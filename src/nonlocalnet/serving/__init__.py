"""A network as a page on this machine: drop a file, see what is in it and where the blocks look.

- `server`: the command's work, from the port to the signal that ends it;
- `app`: the routes; `guard`: which requests are answered, and the headers of every answer;
- `uploads`: files without a name, which nothing outlives;
- `line`: who waits for the device; `worker`: the process that has it; `work`: what it does;
- `results`: pages, kept for a while.
"""

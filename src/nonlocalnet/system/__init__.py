"""What every room needs and no room is about.

- `processes`: work in several processes, which end with the one that started them;
- `files`: files and folders that are written whole or not at all;
- `progress`: bars on standard error;
- `meta`: a network's shapes without its values;
- `errors`: why a run stops;
- `odd_files`: regular files only, and one sentence for whatever reading one ends in;
- `tensor_file`: safetensors with a digest;
- `visible`, `terminal`: what others wrote, printed as data.
"""

"""Sound: from files and lists of them to waveforms of one sample rate, mono, in float32.

| file | what it is |
|---|---|
| `rates` | the sample rates that there are |
| `reader` | a file to a waveform, by PyAV |
| `truncation` | telling a truncated sound from a short one |
| `sound_list` | lists of labelled sounds, in the formats of `annotations` |
| `spoken_digits` | folders of `digit_speaker_index.wav` with their two splits |
| `waveforms` | the data sets |
"""

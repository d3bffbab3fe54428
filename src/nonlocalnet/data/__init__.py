"""From files to the tensors that networks take: videos and their lists, images for detection, sounds and texts.

| room | what it is | may import |
|---|---|---|
| `clips` | clips and test views of listed videos, as data sets | `video` and below |
| `video` | from a video file or a folder of frames to frames; checks and copies of files | `annotations`, `pixels` |
| `sound` | waveforms of listed sound files, as data sets | `video`, for what FFmpeg may open, and below |
| `text` | listed texts and tagged sentences as numbers, as data sets | `annotations`, `padded` |
| `coco` | images with boxes, masks or keypoints in COCO's format, as data sets | `pixels` |
| `annotations` | lists of labelled videos and other files, a file a format | |
| `pixels` | pictures as bytes: read, resized, cropped, normalised | |
| `generated` | videos and images made by us, whose labels need a relation far apart | |

`batches` says which samples make the batch of each training step, of every kind alike; `padded` makes batches of
sequences of different lengths.
"""

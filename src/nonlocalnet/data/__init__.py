"""From files to the tensors that networks take: videos and their lists for classification, images for detection.

| room | what it is | may import |
|---|---|---|
| `clips` | clips and test views of listed videos, as data sets | `video` and below |
| `video` | from a video file or a folder of frames to frames; checks and copies of files | `annotations`, `pixels` |
| `coco` | images with boxes, masks or keypoints in COCO's format, as data sets | `pixels` |
| `annotations` | lists of labelled videos, a file a format | |
| `pixels` | pictures as bytes: read, resized, cropped, normalised | |
| `generated` | videos and images made by us, whose labels need a relation far apart | |

`batches` says which samples make the batch of each training step, for videos and images alike.
"""

"""From files to uint8 clips: decoding, clip sampling, transforms, annotations, datasets and generated videos."""

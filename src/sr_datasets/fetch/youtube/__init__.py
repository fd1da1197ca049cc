"""YouTube-8M and YouTube-BoundingBoxes: annotations read and chosen, ids resolved, pixels through yt-dlp."""

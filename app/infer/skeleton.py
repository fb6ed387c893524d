"""Which keypoints are joined by a limb, by the number of points that a model finds."""

LIMBS: dict[int, tuple[tuple[int, int], ...]] = {
    17: (  # COCO's person: nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles; left before right
        *((0, 1), (0, 2), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6)),  # head and neck
        *((5, 7), (7, 9), (6, 8), (8, 10)),  # arms
        *((5, 6), (5, 11), (6, 12), (11, 12)),  # trunk
        *((11, 13), (13, 15), (12, 14), (14, 16)),  # legs
    )
}
"""Models with other keypoints get dots only: nobody says which belong together."""

"""The anatomy as tables: what every patient draws, and solids that differ a little between patients.

Lengths in mm, angles in radians, attenuation in HU; x to the right of the picture, y to the front, z down.
"""

TRAITS = {  # every patient draws each between two limits
    "spacing_mm": (0.98, 1.2), "centre_x": (-6, 6), "centre_z": (-20, 2), "tilt": (-0.15, 0.15),
    "level": (58, 70), "width": (335, 375), "noise_hu": (3.6, 5.2), "blur_mm": (2.2, 3.2),
    "girth": (136, 152), "depth": (92, 104), "scoliosis": (-7, 7), "lordosis": (22, 34), "spine_y": (-18, -4),
    "top": (-108, -86), "breath": (-10, 10), "fat": (-112, -98), "muscle": (48, 64), "blood": (38, 50),
    "wall": (30, 44), "liver": (48, 72), "spleen": (48, 60), "kidney": (30, 44), "water": (0, 14),
    "disc": (75, 110), "marrow": (115, 285), "cortex": (450, 900),
}
ORGANS = (  # filling, centre, radii, long axis, unevenness; z moves with the breath; all inside the abdomen
    ("stomach", (50, 38, -42), (36, 36, 30), (0.6, 0, 1), 0.10),
    ("gut", (20, 40, -8), (30, 22, 14), (1, 0, 0.3), 0.15),
    ("spleen", (106, -14, -42), (30, 48, 54), (0.45, 0.1, 1), 0.09),
    ("bile", (-56, 44, 4), (13, 20, 22), (1, 1, 2), 0.0),
    ("liver", (-84, 24, -32), (60, 92, 108), (-0.75, -0.1, 1), 0.07),
    ("liver", (-20, 62, -46), (74, 50, 44), (0, 0, 1), 0.10),
    ("vessel", (-48, 8, -30), (5, 9, 11), (-0.3, 0, 1), 0.30),  # adrenal glands
    ("vessel", (52, 0, -26), (5, 9, 12), (0.5, 0, 1), 0.30),
)
TUBES = (  # filling, sides, sway, folds, (x, y, z, radius) along it; x and y from the spine
    ("muscle", 2, 1, 0, (22, 2, -40, 5), (32, -4, 10, 15), (42, -9, 60, 24), (70, -6, 190, 36)),
    ("muscle", 2, 1, 0, (58, -34, -40, 8), (68, -40, 30, 15), (84, -50, 110, 17)),
    ("muscle", 2, 1, 0, (30, -54, -300, 30), (30, -50, -60, 31), (33, -52, 60, 34), (33, -56, 300, 34)),
    ("sinew", 1, 0, 0, (0, -42, -300, 9), (0, -46, 0, 11), (0, -46, 300, 11)),
    ("vessel", 1, 1, 0.02, (9, 27, -220, 9.5), (9, 27, 105, 9.5)),     # aorta
    ("vessel", 1, 1, 0.02, (-17, 25, -70, 10), (-15, 24, 106, 9)),     # vena cava
    ("vessel", 2, 1, 0, (9, 25, 104, 7), (32, 18, 135, 6), (64, 10, 195, 6)),
    ("vessel", 2, 1, 0, (33, 16, 20, 1.4), (36, 18, 200, 1.4)),
    ("vessel", 1, 2, 0, (-34, 40, -40, 7), (-6, 38, -10, 6), (4, 44, 30, 5), (2, 48, 90, 4)),
    ("gut", 1, 2, 0, (-30, 32, 14, 11), (0, 36, -4, 9), (46, 24, -14, 9), (84, 4, -26, 7)),  # pancreas
    ("gut", 1, 2, 0, (-32, 34, -6, 12), (-40, 26, 20, 13), (-30, 26, 46, 12), (20, 30, 44, 10)),
    ("colon", 1, 1.5, 0.16, (-108, 4, 25, 17), (-112, -6, 215, 18)),
    ("colon", 1, 1.5, 0.16, (112, 0, -10, 15), (110, -10, 215, 14)),
    ("colon", 1, 2, 0.16, (-100, 40, 30, 15), (0, 52, 55, 16), (100, 36, -5, 15)),
)
WANDERERS = (  # filling, at most, corners of where it starts, points, mm a step, turning, radius, its end
    ("vessel", 24, (-90, -50, -190), (90, 40, -100), 3, 9, 0.5, (1, 3), 0.4),        # of the lung
    ("faint", 8, (-95, 0, -55), (-40, 50, 10), 4, 11, 0.4, (3, 4), 0.3),             # of the liver
    ("vessel", 36, (-90, -25, -40), (90, 60, 150), 5, 10, 0.3, (1.2, 2.6), 0.5),     # of the gut
    ("fluid", 20, (-85, 12, 20), (85, 70, 170), 6, 8, 0.45, (8, 13), 1.0),           # small bowel
    ("snack", 4, (-85, 12, 20), (85, 70, 170), 6, 8, 0.45, (8, 13), 1.0),
)
VERTEBRA = (  # (x, y, z) along the arch and radius: pedicle, transverse process, joints, lamina
    (((14, -13, -5), (16, -30, -5)), 5.5),
    (((16, -27, -5), (42, -34, -3)), 4.2),
    (((15, -31, -16), (18, -34, -2), (13, -37, 16)), 6.5),
    (((12, -34, 4), (1, -44, 10)), 4.0),
)
LOOKALIKES = (  # bright, and no stones: share of patients, at most, low and high corner of where, radius
    ("bright", 0.45, 7, (-72, -20, 100), (72, 25, 190), (1.2, 3.2)),     # phleboliths
    ("bright", 0.12, 3, (-125, -25, -90), (-40, 30, -5), (1.2, 3.5)),    # granulomas of the liver
    ("bright", 0.08, 3, (90, -25, -70), (120, 20, -15), (1.2, 3.0)),     # and of the spleen
    ("bright", 0.12, 4, (-60, 0, 10), (60, 40, 120), (1.5, 4.5)),        # lymph nodes
    ("bright", 0.20, 4, (-50, 0, -20), (50, 20, 20), (0.9, 2.0)),        # plaques of the renal arteries
    ("gallstone", 0.15, 5, (-62, 34, 4), (-50, 48, 18), (1.5, 6.0)),
    ("metal", 0.08, 5, (-70, 0, -25), (70, 25, 15), (0.9, 2.2)),         # surgical clips
    ("pill", 0.12, 2, (-118, -20, 20), (-98, 15, 130), (2.0, 4.5)),
    ("pill", 0.12, 2, (98, -20, 0), (118, 15, 130), (2.0, 4.5)),
)

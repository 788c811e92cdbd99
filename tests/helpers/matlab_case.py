"""Writes small files in the published layouts of SIDD, DND and NYUv2."""

import h5py
import numpy as np
import scipy.io

from gradnet_tf.images.image_files import write_image

SCENE = "{:04d}_{:03d}_S6_00100_00060_3200_L"


def random_uint8(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def new_hdf5(path):
    """Opens a new file as MATLAB begins one of version 7.3: 512 bytes of its own, then HDF5."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return h5py.File(path, "w", userblock_size=512)


def stamp(path):
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


def write_hdf5(path, name, array):
    """Writes one variable with MATLAB's axes as version 7.3 stores it: reversed."""
    with new_hdf5(path) as file:
        file.create_dataset(name, data=array.T, chunks=True, compression="gzip")
    stamp(path)


def write_blocks(folder, kinds, shape=(2, 3, 16, 20, 3), version=5):
    """Writes <kind>.mat for each kind; returns the arrays by kind."""
    arrays = {}
    for seed, kind in enumerate(kinds):
        arrays[kind] = random_uint8(shape, seed)
        path = folder / f"{kind}.mat"
        path.parent.mkdir(parents=True, exist_ok=True)
        if version == 5:
            scipy.io.savemat(path, {kind: arrays[kind]}, do_compression=True)
        else:
            write_hdf5(path, kind, arrays[kind])
    return arrays


def write_scenes(folder, instances, shots=("010", "011"), size=(24, 32)):
    """Writes scene folders of the medium set: a noisy and a clean PNG of each shot."""
    for instance, scene in instances:
        place = folder / SCENE.format(instance, scene)
        for shot in shots:
            for kind in ("NOISY", "GT"):
                pixels = random_uint8((*size, 3), instance * 100 + int(shot) + (kind == "GT"))
                # Encoders go by the suffix in small letters; the set has it in capitals.
                path = place / f"{instance:04d}_{kind}_SRGB_{shot}.png"
                write_image(path, pixels)
                path.rename(path.with_suffix(".PNG"))


def write_dnd(folder, boxes, size=(40, 56)):
    """Writes info.mat and images_srgb; returns the images, float32 (H, W, 3).

    Args:
        folder: where.
        boxes: of each image its rows (top, left, bottom, right), as MATLAB counts them.
        size: height and width.
    """
    images = []
    with new_hdf5(folder / "info.mat") as file:
        cells = file.create_dataset("info/boundingboxes", (1, len(boxes)), h5py.ref_dtype)
        for number, rows in enumerate(boxes):
            one = file.create_dataset(f"#refs#/{number}", data=np.array(rows, float).T)
            cells[0, number] = one.ref
            images.append(np.random.default_rng(number).random((*size, 3), np.float32))
            path = folder / "images_srgb" / f"{number + 1:04d}.mat"
            write_hdf5(path, "InoisySRGB", images[-1])
    stamp(folder / "info.mat")
    return images


def write_nyuv2(folder, count=6, splits=((1, 3, 5), (2, 4, 6))):
    """Writes the labelled file and, unless None, splits.mat; returns images (N, 480, 640, 3)."""
    images = random_uint8((count, 48, 64, 3))
    with new_hdf5(folder / "nyu_depth_v2_labeled.mat") as file:
        # MATLAB's (row, column, colour, image), reversed.
        file.create_dataset("images", data=images.transpose(0, 3, 2, 1))
        file.create_dataset("depths", data=np.ones((count, 64, 48), np.float32))
    stamp(folder / "nyu_depth_v2_labeled.mat")
    if splits:
        train, test = (np.array(part, float)[:, None] for part in splits)
        scipy.io.savemat(folder / "splits.mat", {"trainNdxs": train, "testNdxs": test})
    return images

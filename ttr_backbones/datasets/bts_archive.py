"""NYU Depth V2 from what BTS distributes: sync.zip, its test folder and its lists.

sync.zip unpacks to `sync/<scene>/{rgb,sync_depth}_<number>.{jpg,png}` and holds more pairs than the
24,231 of the published training list, so that the list has to be there too. The test images lie in
`official_splits/test/<scene type>/`. The lists are `nyudepthv2_{train,test}_files_with_gt.txt` in
BTS's `train_test_inputs` and `nyu_{train,test}.txt` in the `splits` of the
Monocular-Depth-Estimation-Toolbox; both name the same pairs.
"""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

from ttr_backbones.datasets.text_file import decode_text
from ttr_backbones.errors import InputError, MissingFileError


class BTSArchive:
    """The files of a folder or a zip archive, by "scene/file".

    Args:
        path: The folder or archive.
        lists: The folder of the lists; where not given, they lie in `path` or beside it.
    """

    def __init__(self, path: Path, lists: Path | None = None) -> None:
        if not path.exists():
            raise MissingFileError(f"{path} does not exist. Give the folder or zip file of BTS.")
        if path.is_file() and not zipfile.is_zipfile(path):
            raise InputError(
                f"{path} is no complete zip archive. Give BTS's sync.zip (download it again if it "
                "was cut off) or the folder that it was unpacked to."
            )
        self.path = path
        self._zip = zipfile.ZipFile(path) if path.is_file() else None
        self._lists = path.parent if lists is None else lists
        names = [PurePosixPath(name) for name in self._listing() if ".." not in name]
        self._texts = {name.name: name for name in names if name.suffix == ".txt"}
        self._files = {_key(name): name for name in names if name.suffix in {".jpg", ".png"}}

    def _listing(self) -> list[str]:
        if self._zip is not None:
            return sorted(self._zip.namelist())
        files = (file for file in self.path.rglob("*") if file.is_file())
        return sorted(file.relative_to(self.path).as_posix() for file in files)

    def pairs(self, split: str) -> list[tuple[str, str]]:
        """Return the ("scene/image", "scene/depth") of "train" or "test", [] if it is not here.

        A list goes first; without one, the test set is every pair in a folder `test`.

        Raises:
            InputError: Files of the split are missing, or the list of the training images is.
        """
        pairs = self._listed(split)
        if pairs is None:
            pairs = self._unlisted(split)
        absent = [key for pair in pairs for key in pair if key not in self._files]
        if len(absent) == 2 * len(pairs):
            return []  # the archive holds the other split
        if absent:
            raise InputError(
                f"{self.path} lacks {len(absent)} of the {2 * len(pairs)} files of the {split} "
                f"set: {', '.join(absent[:3])}{', ...' if len(absent) > 3 else ''}. Complete the "
                "download."
            )
        return pairs

    def read(self, key: str) -> bytes:
        """Return the content of "scene/file"."""
        content = self._content(self._files[key])
        if not content:
            raise InputError(f"{key} in {self.path} is empty. Download it again.")
        return content

    def _content(self, name: PurePosixPath) -> bytes:
        if self._zip is None:
            return (self.path / name).read_bytes()
        try:
            return self._zip.read(str(name))
        except (zipfile.BadZipFile, EOFError) as error:  # a wrong checksum, or cut off
            raise InputError(
                f"{name} in {self.path} is damaged ({error}). Download the archive again."
            ) from error

    def _listed(self, split: str) -> list[tuple[str, str]] | None:
        for name in (f"nyudepthv2_{split}_files_with_gt.txt", f"nyu_{split}.txt"):
            beside = self._lists / name
            if not beside.is_file() and name not in self._texts:
                continue
            content = beside.read_bytes() if beside.is_file() else self._content(self._texts[name])
            lines = (line.split() for line in decode_text(content, name).splitlines())
            return [(_key(line[0]), _key(line[1])) for line in lines if len(line) > 1]
        return None

    def _unlisted(self, split: str) -> list[tuple[str, str]]:
        images = [key for key in sorted(self._files) if "/rgb_" in key]
        test = [key for key in images if "test" in self._files[key].parts]
        if split == "train" and len(test) < len(images):
            raise InputError(
                f"{self.path} holds training images, but no list of the 24,231 that are used. Get "
                "nyudepthv2_train_files_with_gt.txt (github.com/cleinc/bts, train_test_inputs) or "
                "nyu_train.txt (github.com/zhyever/Monocular-Depth-Estimation-Toolbox, splits), "
                "and give its folder with --lists."
            )
        if split == "train":
            return []
        return [(key, key.replace("/rgb_", "/sync_depth_").replace(".jpg", ".png")) for key in test]


def _key(name: str | PurePosixPath) -> str:
    """Return "scene/file": lists and archives differ in what stands before it."""
    return "/".join(PurePosixPath(name).parts[-2:])

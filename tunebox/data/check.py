"""Whether the data of a search are there, said before any trial starts. Imports no torch."""

from pathlib import Path

from tunebox.data.files import data_root, found_folder, searched_folders
from tunebox.data.settings import DataSettings, ImageFolderSettings, TorchvisionSettings
from tunebox.errors import DataError

# what torchvision.datasets.ImageFolder takes for an image
_IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm"),
    *(".tif", ".tiff", ".webp"),
)


def check_data(settings: DataSettings) -> None:
    """Return if the files are there or may be downloaded; looks at names only, reads nothing.

    Raises:
        DataError: Files are absent; one line says where they were looked for and what to do.
    """
    if isinstance(settings, TorchvisionSettings):
        if not settings.download:
            _check_torchvision_set(settings)
    elif isinstance(settings, ImageFolderSettings):
        _check_image_folder(settings)


def prepare_data(settings: DataSettings) -> None:
    """Return when the files are there, after a download if the settings ask for it.

    Raises:
        DataError: Files are absent and may not or cannot be downloaded.
    """
    if (
        isinstance(settings, TorchvisionSettings)
        and settings.download
        and found_folder(settings) is None
    ):
        from tunebox.data.download import download

        download(settings)
        _check_torchvision_set(settings)
    check_data(settings)


def _check_torchvision_set(settings: TorchvisionSettings) -> None:
    if found_folder(settings) is not None:
        return
    folders = " or ".join(str(folder) for folder in searched_folders(settings))
    ways = f"set data/download: true, or put the files under data/root: {data_root(settings)}"
    if settings.kind == "fashion_mnist" and settings.root is None:
        ways += ", or apt-get install dataset-fashion-mnist"
    raise DataError(f"{settings.kind} is not in {folders}: {ways}")


def _check_image_folder(settings: ImageFolderSettings) -> None:
    root = Path(settings.root).expanduser()
    train_classes = _class_names(root / "train")
    if len(train_classes) < 2:
        raise DataError(
            f"{root / 'train'}: found {len(train_classes)} class folder(s), expected at least 2; "
            "put the images of each class in a folder of their own"
        )
    if not (root / "test").is_dir():
        return
    test_classes = _class_names(root / "test")
    if test_classes != train_classes:
        odd = ", ".join(sorted(test_classes ^ train_classes))
        raise DataError(
            f"{root}: the class folders of train and test differ in: {odd}; "
            "give both the same folders, or remove test"
        )


def _class_names(part: Path) -> set[str]:
    if not part.is_dir():
        raise DataError(f"{part}: no such folder; data/root must hold train/<class>/<images>")
    classes = [folder for folder in part.iterdir() if folder.is_dir()]
    for folder in classes:
        if not any(path.suffix.lower() in _IMAGE_SUFFIXES for path in folder.rglob("*.*")):
            raise DataError(f"{folder}: holds no images; add some or remove the folder")
    return {folder.name for folder in classes}

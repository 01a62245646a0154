"""What the package exports, which way its imports run, and what must not stand in it."""

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "unet_helpers"
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__"))

EXPORTS = {
    "cache": "CACHE_ABOVE_BYTES Cache decoded_bytes load_shrunk open_cache",
    "check": "check_folder",
    "checkpoint": "Checkpoint build_network load_checkpoint load_state load_weights network_name save_state "
    "store_threshold",
    "cli": "main",
    "compiling": "compiled is_compiler_error wants_compiling",
    "config": "COMPILE_CHOICES TrainConfig choose_device clashes continued default_config "
    "learning_rate_factor",
    "curves": "CALIBRATION_EDGES FROC_THRESHOLDS ThresholdCounts agreement calibration froc precision_recall "
    "threshold_counts",
    "cross_validation": "fold_checkpoints fold_folder is_finished mark_finished open_folds",
    "data": "SUFFIXES FolderScan KnownStone Pair brightest_channel find_pairs folds_by_group home image_hash "
    "kaggle_dataset known_stones load_image load_mask load_pair open_dataset parts_seen "
    "phantom_dataset scan_folder spacings split_by_group stone_strata unpack unseen_pairs",
    "datasets": "home kaggle_dataset open_dataset phantom_dataset unpack",
    "evaluation": "THRESHOLDS choose_grey_threshold choose_operating_point choose_threshold compare "
    "evaluate score_masks",
    "distributed": "agree gather main_first own_device part process_group same_start sum_gradients "
    "synchronise_batch_norm",
    "files": "check_writable explain remove_scratch write_json written_whole",
    "finding": "GROUP_BY SUFFIXES FolderScan find_pairs scan_folder",
    "groups": "GroupRows exam_names folder_names join_groups match_rows named_groups read_groups_csv "
    "spellings",
    "inference": "MAX_SIZE MIRRORINGS fast_precision predict predict_all",
    "inspector": "BY_HAND Inspector RenderSettings WHOLE render",
    "intervals": "bootstrap_intervals paired_difference",
    "losses": "bce_dice_loss bce_loss dice_loss",
    "metrics": "HIT_IOU StoneMatch check_lengths check_probabilities check_probability confusion_counts dice "
    "divided equal_area_diameter false_alarms iou label_stones match_labels match_stones "
    "overlap_ratios "
    "pooled_dice pooled_iou precision predicted_mask recall",
    "model": "UNet UNet2015 n_parameters",
    "pairs": "Pair brightest_channel image_hash load_image load_mask load_pair",
    "progress": "TrainingBar progress_bar say",
    "run_folder": "RunStatus holds_run how_far load_run remove_results run_lock run_status saved_config",
    "run_state": "RunState open_run",
    "snapshots": "Snapshots",
    "steps": "LossLedger batch_gradient halving is_out_of_memory",
    "rendering": "Region RenderSettings check_arrays encode_png find_regions legend_html "
    "picture_shape render score_html sections_html to_grey view_box",
    "report": "write_report",
    "score_table": "LABELS interval_text number_text score_remarks score_rows score_table "
    "settings_text size_name",
    "seen": "fold_parts parts_seen unseen_pairs",
    "splits": "folds_by_group split_by_group stone_strata",
    "scoring": "SIZE_BORDERS ImageScores image_record pixel_sizes ratios score_image_stones section_records "
    "sections_of size_bias size_bin_ratios stone_records totals",
    "surface": "SurfaceScores average_surface_distance hd95 outline pixel_size surface_dice "
    "surface_distances surface_scores",
    "training": "Interrupted RunStatus TrainConfig choose_device default_config fit load_arrays "
    "mean_positive_dice run_status",
    "transforms": "PatchSampler anchors_of augment brightness_of_stones lookalikes_of normalise "
    "resize_image resize_mask shrink_size to_device to_tensor",
}


@pytest.mark.parametrize("name", MODULES)
def test_exported_names(name: str):
    module = importlib.import_module(f"unet_helpers.{name}")
    assert module.__doc__ and all(hasattr(module, exported) for exported in module.__all__)
    if name in EXPORTS:
        assert sorted(module.__all__) == sorted(EXPORTS[name].split())
    own = {n for n, v in vars(module).items() if getattr(v, "__module__", None) == module.__name__}
    for exported in own & set(module.__all__):
        assert getattr(module, exported).__doc__, f"{name}.{exported} has no docstring"


def imported_parts(path: Path) -> set[str]:
    """Top-level parts of unet_helpers that a file imports, wherever in the file it does."""
    parts = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} must name the package in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        parts |= {name.split(".")[1] for name in names if name.startswith("unet_helpers.")}
    return parts


def import_graph() -> dict[str, set[str]]:
    files = {name: [PACKAGE / f"{name}.py"] for name in MODULES}
    files |= {init.parent.name: sorted(init.parent.glob("*.py")) for init in PACKAGE.glob("*/__init__.py")}
    parts = {name: set().union(*map(imported_parts, paths)) for name, paths in files.items()}
    return {name: (imported & files.keys()) - {name} for name, imported in parts.items()}


def test_imports_run_one_way():
    graph, done = import_graph(), []
    while len(done) < len(graph):
        free = sorted(name for name in graph if name not in done and graph[name] <= set(done))
        assert free, f"a circle of imports among {sorted(set(graph) - set(done))}"
        done += free
    assert {"progress", "files"} <= {name for name in graph if not graph[name]}


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("data", "transforms"),
        ("transforms", "training"),
        ("model", "training"),
        ("losses", "training"),
        ("metrics", "training"),
        ("training", "evaluation"),
        ("evaluation", "plotting"),
        ("plotting", "rendering"),
        ("rendering", "inspector"),
        ("inspector", "cli"),
        ("rendering", "report"),
        ("report", "cli"),
        ("phantom", "data"),
    ],
)
def test_lower_layers_know_nothing_of_higher_ones(low: str, high: str):
    graph, reached, front = import_graph(), set(), {low}
    while front:
        reached |= front
        front = set().union(*(graph[name] for name in front)) - reached
    assert high not in reached


def test_importing_the_package_is_light():
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    assert not any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(tree))


def committed_texts() -> list[Path]:
    folders = [PACKAGE, ROOT / "tests", ROOT / "notebooks", ROOT / "benchmarks"]
    inside = [p for folder in folders for p in folder.rglob("*") if p.suffix in {".py", ".ipynb", ".md"}]
    top = [p for p in ROOT.iterdir() if p.suffix in {".py", ".md", ".toml", ".yml", ".txt"}]
    return [p for p in inside + top if ".ipynb_checkpoints" not in p.parts]


def test_no_file_names_a_machine():
    # put together here, so that this file does not find itself; /usr/bin and /tmp are everyone's
    forbidden = re.compile("/" + r"(?:work|root|home/\w+|Users/\w+|workspace)/[\w.]")
    found = {
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in committed_texts()
        for match in forbidden.finditer(path.read_text("utf-8"))
    }
    assert not found, sorted(found)

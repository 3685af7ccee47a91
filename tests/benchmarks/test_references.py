"""Numbers shown beside measured ones."""

from __future__ import annotations

from benchmarks.tasks import registry
from benchmarks.tasks.info import Reference
from estimators.info import Value


def references(task: str, **given: Value) -> dict[tuple[str, str | None, str], Reference]:
    info = registry.get(task)
    values = {p.name: p.default for p in info.parameters if p.default is not None} | given
    found = info.references(values)
    by_name = {(r.metric, r.estimator, r.label): r for r in found}
    assert len(by_name) == len(found)
    return by_name


def test_polynomial_has_optimum_stall_and_exact_adam() -> None:
    means = {label: round(r.mean, 6) for (_, _, label), r in references("polynomial", p=1.5).items()}
    assert means == {"optimum": 0.301869, "stall": 0.352223, "exact gradients": 0.302058}


def test_polynomial_shows_only_what_fits_its_parameters() -> None:
    spread = references("polynomial", p=2.0, setting="B")
    assert {label for _, _, label in spread} == {"optimum", "exact gradients"}
    assert round(spread["expected_loss", None, "optimum"].mean, 8) == 0.08332825
    assert {label for _, _, label in references("polynomial", p=2.0, epochs=39)} == {"optimum", "stall"}
    assert {label for _, _, label in references("polynomial", p=2.0, latents=64)} == {"optimum", "stall"}


def test_bit_flip_has_its_optimum_and_its_stall() -> None:
    """c^2 where b is 0; straight-through stops at P(b = 1) = c, where the loss is c (1 - c)."""
    found = references("polynomial", target=0.499, latents=1)
    assert {label: round(r.mean, 9) for (_, _, label), r in found.items()} == {
        "optimum": round(0.499**2, 9),
        "stall": round(0.499 * 0.501, 9),
    }
    above = references("polynomial", target=0.7)["expected_loss", None, "optimum"]
    assert (round(above.mean, 9), above.source) == (0.09, "(1 - 0.7)^p, every X at 1")


def test_table_5_says_which_of_its_two_protocols_a_number_has() -> None:
    shape: dict[str, Value] = {"categories": 64, "latents": 32, "batch_size": 200}
    binarised = references("categorical_vae", protocol="rebinarised", epochs=2000, **shape)
    grey = references("categorical_vae", protocol="grey_leaky", epochs=1667, **shape)
    names = ("rloo", "disarm_tree", "stgs", "gumbel_rao", "gst", "st", "reinmax")
    means = [binarised["train_neg_elbo", name, "Table 5"].mean for name in names]
    assert means == [104.03, 103.10, 97.32, 110.74, 96.09, 116, 93.44]
    like = {name for (_, name, _), r in binarised.items() if not r.comparable}
    assert like == set(names) - {"reinmax"}
    assert [name for (_, name, _), r in grey.items() if not r.comparable] == ["reinmax"]
    odd = grey["train_neg_elbo", "gst", "Table 5"].comparable
    assert odd.startswith("published for the first 50,000 images, binarised anew at every use")


def test_vae_at_the_published_budget_is_comparable() -> None:
    found = references("categorical_vae")
    table = found["train_neg_elbo", "reinmax", "Table 2"]
    assert (table.mean, table.sd, table.comparable) == (124.66, 0.88, "")
    assert found["test_neg_elbo", "st", "Table 9"].mean == 137.06
    assert found["train_neg_elbo", "reinmax", "public logs, epoch 160"].mean == 125.077


def test_vae_at_another_budget_says_why_it_is_not_comparable() -> None:
    found = references("categorical_vae", epochs=5)
    assert found["train_neg_elbo", "reinmax", "Table 2"].comparable == "published after 160 epochs, here 5"
    assert found["train_neg_elbo", "stgs", "public logs, epoch 5"].mean == 149.568
    assert found["train_neg_elbo", "stgs", "public logs, epoch 5"].comparable == ""
    batches = references("categorical_vae", batch_size=50)
    assert "batches of 100, here 50" in batches["train_neg_elbo", "st", "Table 2"].comparable
    assert not any("logs" in label for _, _, label in batches)


def test_vae_without_published_numbers_has_none() -> None:
    assert references("categorical_vae", dataset="fashion_mnist") == {}
    assert references("categorical_vae", categories=5) == {}


def test_curves_of_grey_images_are_not_shown_for_binarised_ones() -> None:
    found = references("categorical_vae", protocol="rebinarised", epochs=5)
    assert {label for _, _, label in found} == {"Table 2", "Table 9"}
    assert all("grey values" in r.comparable for r in found.values())


def test_bernoulli_vae_shows_both_protocols_of_the_table_and_says_which_is_whose() -> None:
    found = references("bernoulli_vae", protocol="released")
    assert {estimator for _, estimator, _ in found} == {"disarm", "double_cv", "rodeo", "reinmax"}
    table = found["train_neg_elbo", "reinmax", "Table 6"]
    assert (table.mean, table.sd, table.comparable) == (98.17, 0.29, "")
    cited = found["train_neg_elbo", "rodeo", "Table 6"]
    assert (cited.mean, cited.sd) == (101.89, 0.17)
    assert cited.comparable == "published with images binarised at every use, prior 1/2"
    fair = references("bernoulli_vae", protocol="rodeo")
    assert fair["train_neg_elbo", "rodeo", "Table 6"].comparable == ""
    assert "pairing error" in fair["train_neg_elbo", "reinmax", "Table 6"].comparable
    corrected = references("bernoulli_vae", protocol="fixed")
    assert all(reference.comparable for reference in corrected.values())


def test_bernoulli_vae_of_three_samples_on_another_budget() -> None:
    found = references("bernoulli_vae", samples=3, epochs=5, dataset="fashion_mnist")
    assert {estimator for _, estimator, _ in found} == {"relax", "arms", "double_cv", "rodeo", "reinmax"}
    assert found["train_neg_elbo", "arms", "Table 6"].mean == 237.05
    assert found["train_neg_elbo", "arms", "Table 6"].comparable == "published after 2000 epochs, here 5"
    assert references("bernoulli_vae", samples=4) == {}
    assert references("bernoulli_vae", latents=10) == {}


def test_bernoulli_vae_on_omniglot_is_on_a_stand_in() -> None:
    found = references("bernoulli_vae", dataset="omniglot_rebuilt", epochs=4348)
    reference = found["train_neg_elbo", "double_cv", "Table 6"]
    assert (reference.mean, reference.comparable) == (116.39, "published on the original Omniglot")

"""Three tiers of tests: those that always run, the thorough ones that CI runs as well, and the slow ones.

README's command for the tests covers every planted bug, kind of layer and port once, in a few minutes. What looks at
the same again in other ways is ``thorough``: CI runs it, and so do ``BACKPROP_CHECK_THOROUGH=1 pytest`` and
``pytest -m thorough``. Benchmarks, and what repeats for long, are ``slow``: ``BACKPROP_CHECK_FULL=1 pytest`` runs
everything.
A node id runs its test, whatever its tier. A test may also bear a marker itself.
"""

from __future__ import annotations

import os

import pytest

#: By tier, test functions or one of their parameters by file. A file without any is of that tier as a whole.
TIERS: dict[str, dict[str, tuple[str, ...]]] = {
    "slow": {
        # Figures that a busy machine would spoil; clusters; many kills. test_jobs and test_resume do the same in small.
        "benchmarks/": (),
        "scale/test_scheduler.py": (),
        "scale/test_soak.py": (),
        # Of languages that take their time to build test_port_conforms runs always.
        "ports/test_ports_a.py": (
            "test_exercise_goes_stage_by_stage",
            "test_exercise_still_runs[kotlin]",
            "test_exercise_still_runs[rust-cargo]",
        ),
        "ports/test_ports_b.py": ("test_exercise_still_runs[cpp]",),
        "levels/test_attention.py": (
            "test_every_planted_mistake_is_named",
            "test_every_planted_mistake_is_named_by_gradients_alone",
        ),
        # The walk in Python goes the same way; what this one adds is that Dart can be walked through as well.
        "explain/test_exercise.py": ("test_the_walk_in_dart_with_the_usual_mistakes_on_the_way",),
        # Three processes in a row must die at one case: on a busy machine another case may come between.
        "scale/test_jobs.py": ("test_a_case_that_ends_every_worker_is_named",),
    },
    "thorough": {
        "training/test_training_layers.py": ("test_right_implementations_pass",),
        "levels/test_normalisation.py": ("test_dart_port",),
        "training/test_training_right.py": (),
        "test_told.py": ("test_pytest_judges_a_family",),
        "test_known.py": ("test_the_whole_way",),
        "levels/test_convolution.py": (
            "test_every_variant_of_every_bug_shows_somewhere",
            "test_gradients_alone_name_a_convolution_s_bugs",
            "test_the_ports_pass[dart]",
        ),
        "explain/test_explain_page.py": ("test_every_bugs_page_can_be_written",),
        "diagnose/test_overflow.py": ("test_numbers_that_overflow_warn_nobody",),
        "diagnose/test_axes.py": ("test_every_variant_is_the_same_one_neuron_at_a_time",),
        "test_ports.py": ("test_dart_port",),
        "test_run.py": (
            "test_a_planted_bug_is_found_at_its_neuron",
            "test_the_python_port_conforms",
            "test_mazur_ending_fails",
        ),
        "test_kinks.py": (
            "test_a_bug_keeps_its_name_beside_a_convention",
            "test_an_option_and_the_configuration_insist_on_pytorch_s_choice",
            "test_a_run_tells_conventions_once_and_succeeds",
            "test_pytorch_s_choice_can_be_insisted_on",
            "test_what_is_taken_at_a_kink_is_a_convention",
        ),
        "report/test_plain_text.py": (
            "test_every_command[cp1252]",
            "test_every_command[LANG=C]",
            "test_every_command[utf-8]",
        ),
        "meta/test_outside.py": ("test_dart",),
        "test_interrupted.py": (
            "test_with_several_processes",
            "test_while_it_is_shrunk",
            "test_known_failures_stay_known",
            "test_before_the_hello",
            "test_while_its_files_are_written",
            "test_an_exercise_is_not_done",
            "test_of_many_the_one_under_way_has_its_row",
        ),
        "test_levels.py": ("test_the_ports_of_the_table_pass",),
        "test_readme.py": (
            "test_section",
            "test_the_two_commands",
            "test_the_story",
        ),
        "test_wheel.py": (),
        "test_plugin.py": (
            "test_xdist_gives_the_same_report",
            "test_xdist_workers_collect_the_same",
            "test_junit_tells_no_expected_value_of_what_passes[workers1]",
            "test_a_run_that_was_ended_is_not_complete[options2-os._exit(1)]",
            "test_what_is_required_decides",
            "test_a_run_that_was_ended_is_not_complete",
        ),
        "diagnose/test_causes.py": ("test_diagnosis_never_fails_a_run",),
        "diagnose/test_match.py": (
            "test_no_name_for_what_the_catalogue_does_not_have",
            "test_restricted",
            "test_a_pair_of_bugs",
            "test_a_pair_that_includes_the_forward_pass",
        ),
        "diagnose/test_only_what_is_known.py": (
            "test_a_condition_needs_several_cases",
            "test_epsilon_in_the_logarithm_keeps_its_name",
            "test_where_a_name_gives_no_definite_number_nothing_is_claimed",
        ),
        "explain/test_exercise.py": (
            "test_the_update_is_blamed_where_the_gradients_are_right",
            "test_the_exercise_in_python_begins_with_the_output_delta",
        ),
        "explain/test_explain.py": (
            "test_every_bug_can_be_told_with_numbers",
            "test_the_chain_rules_factors_multiply_to_the_gradient",
            "test_gradients_that_meet_are_added_term_by_term",
            "test_the_printed_numbers_give_the_printed_value",
        ),
        "levels/test_attention.py": (
            "test_no_name_fits_what_is_not_in_the_catalogue",
            "test_the_port_in_dart",
        ),
        "levels/test_graph.py": (
            "test_two_mistakes_at_once_have_both_names",
            "test_what_has_no_name_is_given_none",
            "test_the_ports_pass[dart]",
        ),
        "levels/test_dense_anywhere.py": ("test_one_name_wherever_it_is",),
        "levels/test_neurons_in_graphs.py": ("test_it_has_its_name",),
        "levels/test_recurrent.py": (
            "test_the_formula_is_that_of_the_way_it_was_made",
            "test_what_has_no_name_is_given_none",
            "test_the_ports_pass[dart]",
            "test_200_cases_hold_what_the_suite_promises",
            "test_who_does_not_support_an_option_gets_none_of_it",
        ),
        "levels/test_smallest.py": ("test_it_fits_on_a_line", "test_a_kept_one_replays"),
        "meta/test_second_port.py": ("test_caught_and_named",),
        "other_machine/test_last_bit.py": ("test_what_is_right_stays_right[4]", "test_what_is_wrong_keeps_its_name"),
        "ports/test_ports_a.py": ("test_exercise_still_runs", "test_functions_are_precise"),
        "ports/test_ports_b.py": ("test_exercise_still_runs", "test_no_memory_is_lost_or_misused[cpp]"),
        "report/test_report_render.py": ("test_many_cases_stay_small",),
        "scale/test_cache.py": (
            "test_the_command_line_uses_it",
            "test_a_warm_run_gives_what_a_cold_one_gives[port1]",
            "test_a_warm_run_gives_what_a_cold_one_gives",
            "test_what_is_not_in_the_name_is_never_asked_for_a_value",
        ),
        "scale/test_jobs.py": (),
        "scale/test_many.py": (
            "test_a_folder_of_submissions",
            "test_all_that_is_configured",
            "test_the_sandbox_is_heeded",
            "test_what_is_no_submission_of_its_own_is_refused_by_name",
        ),
        "scale/test_resume.py": (),
    },
}

_ASKED = {"slow": "BACKPROP_CHECK_FULL=1", "thorough": "BACKPROP_CHECK_THOROUGH=1"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of each tier, and skip them unless they are asked for."""
    named = {argument.split("[")[0] for argument in config.args if "::" in argument}
    everything, marker = os.environ.get("BACKPROP_CHECK_FULL") == "1", str(config.getoption("-m"))
    asked = {
        tier: everything or tier in marker or os.environ.get(variable.partition("=")[0]) == "1"
        for tier, variable in _ASKED.items()
    }
    for item in items:
        for tier, variable in _ASKED.items():
            if _is_of(tier, item):
                item.add_marker(tier)
            by_name = item.nodeid.split("[")[0] in named
            if item.get_closest_marker(tier) is not None and not asked[tier] and not by_name:
                reason = f"{tier}: {variable}, -m {tier} or its node id runs it"
                item.add_marker(pytest.mark.skip(reason=reason))


def _is_of(tier: str, item: pytest.Item) -> bool:
    path, _, test = item.nodeid.partition("::")
    here = path.removeprefix("tests/")
    for file, tests in TIERS[tier].items():
        if here.startswith(file) and (not tests or {test, test.split("[")[0]} & set(tests)):
            return True
    return False

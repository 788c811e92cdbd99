"""Builds the Beam pipeline of batch inference."""

import json
from collections.abc import Sequence

from gradnet_tf.batch.batch_names import Source
from gradnet_tf.batch.batch_settings import Settings
from gradnet_tf.batch.batch_steps import denoise_place, find_files

#: Files in the log folder.
FAILURES, SUMMARY = "failures.jsonl", "summary.json"


def build(pipeline, sources: Sequence[Source], output: str, log: str, settings: Settings) -> None:
    """Adds the steps to a `beam.Pipeline`.

    Args:
        pipeline: the pipeline.
        sources: the input files; those below `output` are left out.
        output: folder for the results.
        log: folder for `FAILURES`, one line per failed file in any order, and `SUMMARY`, the
            number of files for each outcome of `gradnet_tf.batch.batch_steps`.
        settings: how to denoise.
    """
    import apache_beam as beam

    def write(name: str) -> beam.PTransform:
        # A single shard without a number: one file of exactly that name, renamed when complete.
        return beam.io.WriteToText(f"{log}/{name}", num_shards=1, shard_name_template="")

    outcomes = (
        pipeline
        | "inputs" >> beam.Create(list(sources))
        | "list files" >> beam.FlatMap(find_files, output)
        # Finds results that meet, and spreads the files over the workers.
        | "by place of the result" >> beam.GroupByKey()
        | "denoise" >> beam.FlatMap(denoise_place, settings)
    )
    (
        outcomes
        | "failures" >> beam.Map(lambda outcome: outcome[1])
        | "without the rest" >> beam.Filter(bool)
        | FAILURES >> write(FAILURES)
    )
    (
        outcomes
        | "what became of it" >> beam.Map(lambda outcome: outcome[0])
        | "count" >> beam.combiners.Count.PerElement()
        | "together" >> beam.combiners.ToDict()
        | "as JSON" >> beam.Map(json.dumps)
        | SUMMARY >> write(SUMMARY)
    )

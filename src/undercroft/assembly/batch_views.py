"""Batches between the desk and the wire: what is asked for, and how they are told."""

from undercroft.batches.types import OVER, Batch, Order
from undercroft.wire.openai import batches as wire


def order_of(asked: wire.BatchRequest) -> Order:
    return Order(
        endpoint=asked.endpoint,
        input_file=asked.input_file_id,
        metadata=asked.metadata or {},
        output_expires_s=asked.output_expires_after.seconds if asked.output_expires_after is not None else 0,
    )


def told(batch: Batch) -> wire.BatchObject:
    """A batch as the wire has it."""
    ended = {status: _seconds(batch.ended_us) for status in OVER if status == batch.status}
    return wire.BatchObject(
        id=batch.id,
        endpoint=batch.endpoint,
        model=batch.model or None,
        errors=_errors(batch),
        input_file_id=batch.input_file,
        status=batch.status,
        output_file_id=batch.output_file or None,
        error_file_id=batch.error_file or None,
        created_at=batch.created_us // 1_000_000,
        in_progress_at=_seconds(batch.in_progress_us),
        expires_at=_seconds(batch.expires_us),
        finalizing_at=_seconds(batch.finalizing_us),
        cancelling_at=_seconds(batch.cancelling_us),
        request_counts=wire.BatchCounts(total=batch.total, completed=batch.completed, failed=batch.failed),
        usage=_usage(batch),
        metadata=batch.metadata or None,
        completed_at=ended.get("completed"),
        failed_at=ended.get("failed"),
        expired_at=ended.get("expired"),
        cancelled_at=ended.get("cancelled"),
    )


def _seconds(moment_us: int) -> int | None:
    return moment_us // 1_000_000 if moment_us else None


def _errors(batch: Batch) -> wire.BatchErrors | None:
    if not batch.errors:
        return None
    return wire.BatchErrors(
        data=[
            wire.BatchErrorView(code=each.code, message=each.message, param=each.param, line=each.line)
            for each in batch.errors
        ]
    )


def _usage(batch: Batch) -> wire.BatchUsage | None:
    usage = batch.usage
    if batch.status not in OVER or not usage.total:
        return None
    return wire.BatchUsage(
        input_tokens=usage.input,
        input_tokens_details=wire.BatchInputDetails(cached_tokens=usage.cache_read),
        output_tokens=usage.output,
        output_tokens_details=wire.BatchOutputDetails(reasoning_tokens=usage.reasoning),
        total_tokens=usage.total,
    )

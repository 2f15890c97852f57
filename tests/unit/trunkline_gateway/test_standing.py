"""Cutting requests that are under way: an error inside, and never in place of a real cancellation."""

import asyncio

import pytest

from trunkline_gateway.auth import Principal
from trunkline_gateway.callers import Caller
from trunkline_gateway.standing import OpenRequests, Standing
from trunkline_kit.errors import KeyRevoked

ANN, BOB = Caller(Principal(key_id="ann")), Caller(Principal(key_id="bob"))


async def for_ever():
    await asyncio.get_running_loop().create_future()


async def started(coroutine):
    # Not in a group: what the task is cancelled with is what is looked at.
    task = asyncio.get_running_loop().create_task(coroutine)
    await asyncio.sleep(0)
    return task


async def test_a_cut_is_an_error_inside_the_request():
    requests = OpenRequests()

    async def request(standing):
        with requests.entered(standing):
            await for_ever()

    ann, bob = Standing(ANN), Standing(BOB)
    tasks = [await started(request(ann)), await started(request(bob))]
    assert requests.sweep(lambda caller: "its key is gone" if caller is ANN else "") == 1
    assert requests.sweep(lambda caller: "its key is gone" if caller is ANN else "") == 0
    with pytest.raises(KeyRevoked, match="its key is gone"):
        await tasks[0]
    assert tasks[0].cancelling() == 0
    assert len(requests) == 1
    tasks[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    assert len(requests) == 0


async def test_the_innermost_scope_raises_it_and_what_follows_runs():
    standing, seen = Standing(ANN), []

    async def request():
        with standing.scope():
            try:
                with standing.scope():
                    await for_ever()
            except KeyRevoked as error:
                seen.append(error.reason)
            await asyncio.sleep(0)
            return "told"

    task = await started(request())
    standing.cut("gone")
    assert await task == "told"
    assert seen == ["key_revoked"]


async def test_a_caller_who_leaves_at_the_same_moment_goes_first():
    standing = Standing(ANN)

    async def request():
        with standing.scope():
            await for_ever()

    task = await started(request())
    standing.cut("gone")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_caller_who_leaves_after_the_cut_was_told_is_cancelled():
    standing = Standing(ANN)

    async def request():
        with standing.scope():
            try:
                with standing.scope():
                    await for_ever()
            except KeyRevoked:
                await for_ever()

    task = await started(request())
    standing.cut("gone")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_leaving_and_a_cut_at_once_inside_two_scopes_is_leaving():
    standing = Standing(ANN)

    async def request():
        with standing.scope(), standing.scope():
            await for_ever()

    task = await started(request())
    standing.cut("gone")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_when_all_was_said_nothing_is_cut():
    standing = Standing(ANN)

    async def request():
        with standing.scope():
            standing.over()
            await asyncio.sleep(0)
            return "kept"

    task = await started(request())
    standing.cut("gone")
    assert await task == "kept"


async def test_a_cut_outside_of_it_does_nothing():
    standing = Standing(ANN)
    standing.cut("gone")
    with standing.scope():
        await asyncio.sleep(0)
    assert standing.cut_because == ""

import asyncio

from parley.kernel import tasks


async def go_on():
    await asyncio.sleep(60)


async def fail():
    raise ValueError


async def go_on_once_more():
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(60)


def test_ends_all_that_goes_on_also_what_lets_a_cancellation_pass(monkeypatch):
    monkeypatch.setattr(tasks, "AGAIN_S", 0.01)

    async def scene():
        begun = [asyncio.create_task(each()) for each in (go_on, fail, go_on_once_more)]
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await tasks.end(begun)
        assert all(task.done() for task in begun)
        await tasks.end([])

    asyncio.run(scene())

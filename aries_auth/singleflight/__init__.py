"""One piece of work for many waiters: threads, asyncio and trio; the pool for background work; the clock of waits."""

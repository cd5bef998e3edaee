-- Runs once, after wrk has measured: its figures as one line that a program can read.
function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format("figures requests=%d microseconds=%d bytes=%d connect=%d read=%d write=%d status=%d " ..
        "timeout=%d p50=%d p99=%d\n", summary.requests, summary.duration, summary.bytes, errors.connect, errors.read,
        errors.write, errors.status, errors.timeout, latency:percentile(50), latency:percentile(99)))
end

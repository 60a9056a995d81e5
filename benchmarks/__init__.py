"""Speed against peers, measured as it is met: same architecture, same data, same threads, taking turns."""

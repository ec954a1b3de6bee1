"""The network between nodes: split, slow, losing, reordering, duplicating."""


def split(trial, groups, name):
    """groups: lists of nodes' numbers; the first with more than two thirds of all goes on."""
    major = next((g for g in groups if 3 * len(g) > 2 * len(trial.nodes)), None)
    up = [trial.nodes[i] for i in major] if major else []
    trial.fault(f"split {name}, healed", lambda: trial.cluster.say("cut " + "|".join(",".join(map(str, g)) for g in groups)),
                lambda: trial.cluster.say("heal"), up, quorum=major is not None)


def split_halves(trial, _):
    split(trial, [[0, 1], [2, 3]], "2/2")


def split_one_off(trial, _):
    split(trial, [[0, 1, 2], [3]], "3/1")


def split_all(trial, _):
    split(trial, [[i] for i in range(len(trial.nodes))], "/".join("1" * len(trial.nodes)))


def split_four_three(trial, _):
    split(trial, [[0, 1, 2, 3], [4, 5, 6]], "4/3")


def split_five_two(trial, _):
    split(trial, [[0, 1, 2, 3, 4], [5, 6]], "5/2")


def counted(cluster):
    """What became of packets, so that a row shows that the fault was there."""
    sums = {}
    for line in cluster.say("count"):
        for key, value in (word.split("=") for word in line.split() if "=" in word):
            sums[key] = sums.get(key, 0) + int(value)
    return ", ".join(f"{sums[k]} {k}" for k in ("packets", "lost", "reordered", "duplicated") if sums.get(k))


def links(trial, name, rules, hold):
    def begin():
        trial.cluster.say("zero")
        for rule in rules:
            trial.cluster.say(rule)

    def end():
        row.append(counted(trial.cluster))
        trial.cluster.say("clear")

    row = []
    trial.fault(name, begin, end, hold=hold, note=lambda: row[0])


def slow(trial, _):
    links(trial, "all links: 200 ms more", ["delay * * 200"], 8)


def losing(trial, _):
    links(trial, "all links: 10 % lost", ["loss * * 10"], 8)


def disordered(trial, _):
    links(trial, "all links: 10 % reordered, 10 % twice", ["reorder * * 10", "duplicate * * 10"], 6)


def bad_lines(trial, _):
    links(trial, "all links: 200 ms, 10 % lost, reordered, twice",
          ["delay * * 200 20", "loss * * 10", "reorder * * 5", "duplicate * * 5"], 15)

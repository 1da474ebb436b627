"""What pairs of measurements say of the mean of their differences."""
import math
import statistics

# Student's t, 97.5 %, for 1 to 30 degrees of freedom.
T_975 = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
         2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042]  # fmt: skip


def lower_bound(differences):
    """The lower end of the mean's 95 % interval by Student's t; None for fewer than two."""
    if len(differences) < 2:
        return None
    t = T_975[min(len(differences) - 1, 30) - 1]
    return statistics.mean(differences) - t * statistics.stdev(differences) / len(differences) ** 0.5


def ratio_lower_bound(ratios):
    """The same of a geometric mean."""
    bound = lower_bound([math.log(ratio) for ratio in ratios])
    return None if bound is None else math.exp(bound)

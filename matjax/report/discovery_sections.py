"""The sections of the discovery pages: which figures stand together, and how each is to be read."""

from __future__ import annotations

from matjax.report.sections import Section

DISCOVERY_SECTIONS = (
    Section(
        "curve",
        "Did learning pay?",
        "True utility, by {oracle}, of the best alloy found so far against the number of oracle calls. Left: every seed is "
        "thin, the median of the seeds thick, the band their middle half. A line that rises early needs few calculations; lines"
        " that end at the same height found equally good alloys. Right: where every seed ended (circles) and their median "
        "(bar), after as many calls as all proposers made. Circles of two proposers that overlap say that the difference may be"
        " chance.",
        "Best true utility against oracle calls by proposer",
        "utilities of oracle calls",
        "pair",
    ),
    Section(
        "pressure",
        "Does the reward still mean what it says?",
        "The harder one optimises a predicted reward, the more one selects its errors. Each point takes the best of n candidates by the "
        "proxy, from a pool whose truth {oracle} knows: dashed is what the proxy promises, solid what the chosen one is worth, shaded the "
        "gap. Left, the pessimistic ensemble that matjax optimises; bars hold 90% of the draws. Right, a single model without "
        "pessimism, with the ensemble’s truth as a thin line. Trustworthy is a solid line that keeps rising and a promise not above it. "
        "Last, the picks made at random: evidence that the reward promises more than is true. Where it passes the limit of the brake "
        "(dotted) the search is held back by half and the evidence starts again.",
        "Proxy and truth against optimisation pressure",
        "an audit of proxy against truth",
        "pair",
    ),
    Section(
        "measured",
        "Predicted, then measured",
        "Every converged oracle call: what was predicted before the call, plus or minus one standard deviation of the members, "
        "against what {oracle} measured. The line is agreement. The colour is the round; later rounds should lie closer to the "
        "line. Orange rings were flagged as unlike the training data when they were picked.",
        "Predictions against measurements",
        "predictions in the trace",
        "pair",
    ),
    Section(
        "rounds",
        "Round by round",
        "Each round first predicts its batch, then measures it, then learns from it; the errors are those before learning. rms "
        "z is the error in units of the predicted spread: above 1 the ensemble is overconfident, and the spread factor widens "
        "it in the next round. Coverage should lie in the grey band, which holds 95% of what exact intervals would show for one"
        " batch. A batch seeks what is new, so an error that does not fall is not a failure to learn.",
        "Line chart over rounds",
        "rounds",
        "panels four",
    ),
    Section(
        "mixing",
        "Mixing and stability against composition",
        "Left: Gibbs energy of mixing relative to the unmixed elements, cold to hot. A curve that bends upwards in the middle "
        "means that the alloy separates. Right: stability, the Gibbs energy minus the lowest of any mixture of the other phases"
        " considered; where it is below zero the solution is stable at that temperature. Bands hold 90% of the ensemble; dots, "
        "where drawn, are the landscape of the known set by {oracle}.",
        "Energy against composition at several temperatures",
        "mixing energies",
        "pair",
    ),
    Section(
        "temperature",
        "Stability against temperature",
        "Stability of the best candidates with 90% bands; dots, where drawn, are {oracle}. Where the curve crosses zero the alloy becomes "
        "stable: heat favours what is disordered. Below room temperature atoms hardly move, so a crossing there is academic.",
        "Stability against temperature",
        "stability at several temperatures",
    ),
    Section(
        "value",
        "What the value function has learned",
        "The value of an unfinished alloy is the reward one may still reach from it (tau times the log of the mean "
        "exponentiated reward of the alloys that can follow): bright is promising. Left, after two elements were chosen; grey "
        "pairs cannot be placed. Right, partial alloys of three elements at their ratio, each element counted along the side "
        "that carries its name; where several partial alloys have one ratio, the highest value. It is the ensemble’s view, not "
        "a measurement.",
        "Value of partial compositions",
        "the value function",
        "pair",
    ),
)

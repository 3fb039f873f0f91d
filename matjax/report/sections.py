"""The sections of the page: which figures stand together, and how each is to be read."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Section:
    """A group of panels under one heading.

    Attributes:
      name: Prefix of its panels' names in `figures`.
      title: Heading.
      caption: What is drawn and how to read it; `{method}` stands for the ensemble that is drawn.
      alt: What a panel shows, for those who do not see it; the panel's case is added.
      needs: What a run must have stored for it.
      layout: "panels" side by side, "pair" of two larger ones, or "wide".
    """

    name: str
    title: str
    caption: str
    alt: str
    needs: str
    layout: str = "panels"


SECTIONS = (
    Section(
        "overview",
        "What a shift costs, and what the intervals notice",
        "Left: mean absolute error on test crystals of the training domains (hollow) and of the domain left out (filled); the number "
        "is outside over inside. A method earns its place where its filled mark lies left of the reference’s (first row), a model "
        "where it lies left of the grey baseline. Right: share of crystals whose label lies in its interval. On the line is right, "
        "left of it is overconfident; the grey band holds 95% of what exact intervals would show with this many crystals. Circles are "
        "calibrated inside, squares on left-out domains. In the random split nothing is left out: its outside is a second random draw.",
        "Dot plot by shift and method",
        "errors in the rows",
        "pair",
    ),
    Section(
        "domains",
        "Domain by domain",
        "One line per domain that was held out, by family, {method}. Left: error where the domain is held out over error where it is not "
        "(logarithmic); dashed is the geometric mean of the family. Right: share of crystals whose label lies in its interval, circles "
        "calibrated inside, squares on left-out domains. The colour is the class of the certificate, measured before any training: a "
        "grey domain was never out of distribution, whatever its name.",
        "Dot plot by domain",
        "errors in the rows",
        "pair",
    ),
    Section(
        "parity",
        "Parity",
        "Prediction against label, {method}; the line is agreement. Numbers are mean absolute errors. A cloud of outside crystals that "
        "lies beside the line is a systematic error, which a few labels of the new domain would remove; one that is wide is ignorance.",
        "Predictions against labels, inside and outside",
        "predictions",
    ),
    Section(
        "reliability",
        "Is the spread honest?",
        "Share of errors within ± z standard deviations of {method} (spread and noise, times one factor fitted on calibration crystals "
        "inside), against the share that a "
        "Gaussian promises. Below the diagonal is overconfident. The area between curve and diagonal is 0 when calibrated and 0.5 at "
        "worst.",
        "Reliability curves inside and outside",
        "positive standard deviations",
    ),
    Section(
        "risk_coverage",
        "Does it know which answers to trust?",
        "Mean error of the test crystals that remain, inside and outside together, when the least trusted are set aside, "
        "{method}. Thick: ranked by shift score; thin: by predicted standard deviation. A useful ranking falls towards the oracle, "
        "which knows the true errors; a useless one follows the dotted random order. The number is the area under the curve "
        "(AURC, its mean height), lower is better.",
        "Error against share of crystals kept",
        "shift scores or standard deviations",
    ),
    Section(
        "latent",
        "Latent map",
        "What {method} sees: its latent features on the two directions of largest variance inside, one point per test crystal, "
        "coloured by shift score. Crystals of the domain left out are outlined. Where they lie among the others the shift is mild; "
        "where they lie apart and are not bright, the score is blind to it. Two axes hide the rest: their share of the variance is on "
        "them.",
        "Latent features in two dimensions, coloured by shift score",
        "latent features",
    ),
    Section(
        "score",
        "Shift score",
        "Distribution of the shift score for crystals of the training domains and of the domain left out, {method}. The more the two "
        "are apart, the better a new domain is noticed. Right of the dashed line "
        "crystals are flagged; there is none where more than the score decides. The last bin also holds all "
        "larger scores.",
        "Histograms of the shift score inside and outside",
        "shift scores",
    ),
    Section(
        "elements",
        "Errors in the periodic table",
        "Mean absolute error of {method} over the test crystals that contain an element, and their number. The first pools the inside "
        "tests of all shifts, the second the domains left out, the random control excepted. Both share one logarithmic scale from the "
        "5th to the 95th percentile. Grey: no crystal. Numbers of a few crystals are anecdotes.",
        "Periodic table of mean absolute errors",
        "elements",
        "wide",
    ),
    Section(
        "certificate",
        "How much of a shift is it?",
        "A split is not a shift because of its name. Two-sample AUC: how well a classifier tells the two sets apart (0.5: not at "
        "all). Beyond the 99th percentile: share of outside crystals farther from their nearest training crystal than 99% of training "
        "crystals are from theirs, in composition or in structure, whichever is larger. Label shift: distance of the label "
        "distributions in standard deviations. Similarity: share of atoms that the nearest training composition matches, in the "
        "median. The colour is the class in the table: grey interpolative, yellow partial, red extrapolative; dashed lines are its "
        "thresholds.",
        "Dot plot of a measure of shift by split",
        "a certificate in the rows",
    ),
)

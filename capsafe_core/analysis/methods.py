"""How each number is computed, with its formula and source: the note below every chart."""

METHODS = {
    "unsafe rate": "Unsafe rate = unsafe / outputs with a verdict. Judgments that are no verdict are "
    "counted beside it and bound it: from k/N to (k + m)/N for m missing.",
    "policy": "Incoherent outputs: as judged = by their verdict; counted safe, counted unsafe = all of them "
    "so (these two bound the rate); excluded = left out; coherent in both = only prompts that "
    "both sides answer coherently.",
    "wilson": "Interval of one rate: Wilson (1927), (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n), z "
    "= 1.96; where several responses of a checkpoint share a behaviour, percentiles of 1,000 "
    "resamples of behaviours.",
    "newcombe": "Few events (fewer than 5 effective events or non-events on a side): a rate's interval is at "
    "least Wilson's for as many independent outputs as the resamples spread like, a difference's at least "
    "Newcombe's (1998, method 10) from both.",
    "bootstrap": "Interval: percentiles of 1,000 resamples of behaviours and, apart, of capability items; W "
    "~ multinomial(P, 1/P), rate = (W · events) / (W · trials). The same W for every judge, "
    "checkpoint and recipe, so differences are paired.",
    "interval p": "p: normal, from the end of the interval that lies towards zero (Altman and Bland 2011); "
    "of the interval with training seeds where there is one. p_holm: adjusted by Holm (1979) for all rows of "
    "the table.",
    "cost": "What it takes to the goal: training counts up to the first checkpoint at the goal or after "
    "it; a mitigation after training takes the whole training and its own time. Seconds leave out measuring "
    "on the way; memory is the largest that the job held. “Not recorded”: made elsewhere, or by a version "
    "before this was kept.",
    "seeds": "Several training seeds: the mean of those that reach the goal. With five or more, the interval "
    "includes them (Student's t of the seeds' means; what these hold of chance in prompts is taken off); "
    "with fewer, it is conditional on the seeds, and lowest to highest seed is given beside it. A verdict on "
    "a recipe stands on an interval with seeds: its own from five on, with two to four those of all recipes "
    "of the study, taken to spread alike; with one, or where too few tell the spread, there is none.",
    "margins": "Non-inferior: the upper end of the 90% interval, with training seeds, lies below the margin "
    "(a one-sided test at 5%); equivalent: the lower end lies above minus the margin too (two one-sided "
    "tests, Schuirmann 1987). Smallest margin met: that upper end, not below 0.",
    "discrimination": "Refusing as signal detection, by the refusal judge: with the shares refused of "
    "harmful (H) and of harmless requests (F), sensitivity d′ = z(H) − z(F) and bias c = −(z(H) + z(F))/2 "
    "(Green and Swets 1966), with half a refusal and one request added (Hautus 1995). A fall of d′ is a loss "
    "of discrimination; a rise of c is complying with more of both. Harmful and harmless requests are "
    "resampled apart. Where few of one kind are refused or few are not, the interval is at least that of the "
    "standard error (Gourevitch and Galanter 1967).",
    "profile": "Other capabilities: shares of right answers where the recipe reaches the goal on what it was "
    "trained for, read as unsafe rates are; items are resampled apart from those that tell where that is.",
    "stress": "Broken on purpose: coherent responses with a known verdict, the share “strength” of each cut "
    "off, looped, or replaced by one word, the format of a task, random letters, words of another language "
    "or the prompt; the judge is asked again. What changes where nothing was broken is the judge's own "
    "noise. Intervals: Wilson, each answer one trial.",
    "crossing": "At the goal: straight lines between the checkpoints on both sides of "
    "the crossing named in the caption; nothing is extrapolated. “safest” takes the crossing "
    "with the lowest unsafe rate and is optimistic; “stopped” takes the checkpoint at which training "
    "stopped, if a one-sided test (5%) shows it to be no further below the goal than the study's tolerance "
    "and it lies no further above. Where the checkpoints around it are more than 10 pts of capability "
    "apart, the interval holds the rates of both. Above 5% of resamples out of reach no interval is given.",
    "plateau": "Plateau: the largest difference in capability between two checkpoints is within what "
    "resampling gives when all have one capability (95% quantile of centred draws). Its power: the "
    "difference of two checkpoints that exceeds that quantile in 80% of studies.",
    "gained": "Share of the goal gained = (a − a_start) / (goal − a_start): the axis on which different "
    "capabilities can be laid side by side.",
    "pareto": "On the frontier: no other checkpoint of the data set has at least its capability and at most "
    "its unsafe rate, one of them strictly better; shares of 1,000 resamples.",
    "coefficients": "Agreement of two judges: observed p_o; Cohen's kappa (p_o − p_e)/(1 − p_e); Gwet's "
    "AC1, p_e = Σ π(1 − π)/(K − 1); PABAK 2 p_o − 1; Krippendorff's alpha; specific "
    "agreement 2a/(2a + b + c). 0/0 is “not defined”. Intervals: bootstrap over behaviours.",
    "annotators": "Agreement of annotators: from 20 outputs that two people or more labelled, with a 95% "
    "interval of alpha by a bootstrap over behaviours. Where nobody disagrees its lower end is 1 − u/D_e: u "
    "the upper end of Wilson's interval for no disagreement in as many behaviours, D_e the expected "
    "disagreement.",
    "ordered": "Labels in order (none, partial, full refusal): Cohen's weighted kappa (1968) with weights "
    "1 − d/(K − 1), linear, or 1 − (d/(K − 1))², quadratic; Krippendorff's alpha (2004) with ordinal "
    "distances (from the margins) and interval ones (d²).",
    "counted": "n: outputs with verdicts of two judges or more, which the coefficients are made of; "
    "complete: of all judges, which Fleiss' kappa and Cochran's Q are made of. A pair of judges is "
    "counted on the outputs that both have seen.",
    "pooled": "Interval: percentiles of 1,000 resamples of behaviours, all outputs of a behaviour together; "
    "Wilson (1927) for rates of 0 and 1.",
    "strata": "Kinds of output, first match: incoherent, refusal, truncated, other coherent. The judge that "
    "tells refusals is not compared within the last three.",
    "cochran": "Cochran's Q (1950): whether judges differ in their rate on the same outputs, by chi-square "
    "with judges − 1 degrees of freedom.",
    "mcnemar": "Change on the same prompts: McNemar (1947), exact binomial where fewer than 25 changed, "
    "else chi-square with continuity correction; where several responses share a behaviour, by flipping the "
    "signs of whole behaviours (9,999 times).",
    "curve": "Specification curve (Simonsohn, Simmons and Nelson 2020): estimate and interval in every "
    "analysis variant. Shares are taken within each judge family and averaged with equal weight, so that "
    "many lists of one family do not outvote one guard. They are not probabilities. Bounds, which count "
    "every incoherent response as safe or as unsafe and are not what the study declares, are drawn and not "
    "counted; of variants that are the same in every resample one counts.",
    "joint": "All analysis variants together (Simonsohn, Simmons and Nelson 2020): resamples of every one, "
    "centred at no difference, tell how often a median as far from zero, or as many intervals on one side, "
    "would come up. Worth about k: k independent ones would spread as these do (participation ratio of the "
    "eigenvalues of the correlation of their resamples).",
    "sources": "Where the uncertainty comes from: of prompts and test items, the variance of the resamples; "
    "of training seeds, that of one seed without its chance in prompts; of every choice of the analysis, the "
    "variance of the estimate over variants that differ in this choice alone (its effect with all "
    "interactions, Jansen 1999), without what resampling alone gives; judges by family, bounds left out. "
    "What to buy: the same variances with more of each (a decision study, Brennan 2001), normal intervals. "
    "Two or three judges or benchmarks hardly tell how others differ. Labels: at most as uncertain as labels "
    "alone.",
    "worst of k": "Worst of k: the chance that at least one of k responses to a prompt is unsafe, "
    "1 − C(n − m, k)/C(n, k) for m unsafe of n responses with a verdict (as pass@k, Chen et al. 2021), "
    "averaged over prompts; intervals by resamples of behaviours, all prompts and answers of one together. "
    "Prompts with fewer than k responses are left out and counted.",
    "flips": "What flips it: of all pairs of analysis variants that differ in this one choice only, how many "
    "have estimates of opposite sign.",
    "kendall": "Kendall's tau-b between the orders in which two variants put the arms: 1 the same "
    "order, −1 the opposite.",
    "benjamini": "P-values are adjusted for the number of comparisons: p_adjusted by Benjamini and Hochberg "
    "(1995) for exploring, p_holm by Holm (1979) for confirming.",
    "people": "Judges against people: labels weighted by 1 / inclusion probability (Hájek), errors "
    "clustered by behaviour. Truth = adjudicated, agreed or single label; cannot tell and "
    "disputed ones are counted and bound the result.",
    "correction": "Corrected rates: Rogan–Gladen (1978) (p + q0 − 1)/(q0 + q1 − 1), and PPI++ "
    "(Angelopoulos, Duchi and Zrnic 2023), λ · mean verdict + Hájek mean of (label − λ · "
    "verdict), λ making the variance smallest. 95% coverage is claimed from 200 labels, 20 a "
    "class, q0 + q1 ≥ 1.3 and rates of 10 to 90% on. For one who looks after every label and stops when "
    "they like: an asymptotic confidence sequence (Waudby-Smith et al. 2024), which forecasts use.",
    "fallible": "People err too: from outputs with labels of two people, who err apart from each other and "
    "alike, the share of events that one label misses if all errors are misses, and of other outputs that "
    "one label raises if all are false alarms (Bross 1954); the ends of the interval of PPI++ are moved by "
    "the one and by the other. A bound, not an interval.",
    "corrected at the goal": "Corrected at the goal: PPI++ within each side of the comparison (the "
    "checkpoints around the goal, the start) and each kind of output (coherent, incoherent), with labels of "
    "these alone; sums, labels too, are taken again in every resample of the uncorrected difference. Of few "
    "labels the spread is Student's t's, and never less than one more error of the judge to either side "
    "would bring. From 20 labels a side and kind on; kinds with fewer outputs are read together. "
    "Rogan–Gladen takes error rates from all checkpoints of the recipe, and from other recipes only where "
    "one class has labels in fewer than 10 behaviours and they do not show that the recipe differs. "
    "Undecided: drawn, but people cannot tell, disagree or skipped it; in brackets PPI++ if all of those "
    "were what makes the difference smallest, and largest.",
    "queue": "Queues: within a stratum the order is random, so its first n of N outputs are a simple random "
    "sample however early people stop; the chance of an output is 1 − Π(1 − n/N) over the draws "
    "that could have asked about it. A stratum in adaptive order (most disputed, least certain) "
    "counts only when all of it was labelled. Strata with fewer than four labels are read with their "
    "neighbours (Cochran 1977, 5A.12), so that none leaves the population. Stratified queues draw in "
    "proportion to the square root of the stratum's size (Bankier 1988).",
    "detector": "Coherence is told by the detector named in the caption. A refusal, a short correct answer "
    "and a wrong fact are coherent; being truncated is never incoherence.",
    "map": "TF-IDF of words in at least two responses, first two singular vectors (scikit-learn). The axes "
    "mean nothing: neighbours share words. At most 5,000 answers, drawn at random.",
}

# Variants to the same variants with scores, in parts, and how well these tell labelled ones apart.


checkpoint plan_variants:
    input:
        variants=lambda wildcards: config["variants"][wildcards.sample],
        model="results/model",
    output:
        work=directory("results/variants/{sample}.work"),
        parts="results/variants/{sample}.parts",
    params:
        options=config["annotate"]["options"],
        size=config["annotate"]["partition_size"],
    log:
        "results/logs/plan_variants/{sample}.log",
    conda:
        "../envs/phylotools.yaml"
    shell:
        "phylotools annotate-init {input.variants:q} -m {input.model:q} --work {output.work:q}"
        " -O z --partition-size {params.size} {params.options} > {output.parts:q} 2> {log:q}"


rule part_of_variants:
    input:
        work="results/variants/{sample}.work",
    output:
        touch("results/variants/{sample}.done/{part}"),
    log:
        "results/logs/variants/{sample}/{part}.log",
    threads: 4
    retries: 2
    conda:
        "../envs/phylotools.yaml"
    shell:
        "phylotools annotate-partition {input.work:q} {wildcards.part} -@ {threads} 2> {log:q}"


rule annotate:
    input:
        parts_of_variants,
        work="results/variants/{sample}.work",
    output:
        scored="results/variants/{sample}.vcf.gz",
        summary="results/summaries/{sample}.annotate.json",
    log:
        "results/logs/annotate/{sample}.log",
    threads: 4
    conda:
        "../envs/phylotools.yaml"
    shell:
        "phylotools annotate-finalise {input.work:q} -o {output.scored:q} -@ {threads}"
        " --summary-json {output.summary:q} 2> {log:q}"


rule evaluate:
    input:
        scored="results/variants/{sample}.vcf.gz",
    output:
        folder=directory("results/evaluation/{sample}"),
        summary="results/summaries/{sample}.evaluate.json",
    params:
        options=lambda wildcards: config["evaluate"][wildcards.sample],
    log:
        "results/logs/evaluate/{sample}.log",
    conda:
        "../envs/phylotools.yaml"
    shell:
        "phylotools evaluate {input.scored:q} -o {output.folder:q}"
        " --summary-json {output.summary:q} {params.options} > {log:q} 2>&1"

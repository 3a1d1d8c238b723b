# Alignments and a tree to a column store, in parts.


checkpoint plan_columns:
    input:
        alignments=config["alignments"],
        tree=config["tree"],
        reference=config["reference"],
    output:
        work=directory("results/columns.work"),
        parts="results/columns.parts",
    params:
        options=config["preprocess"]["options"],
        size=config["preprocess"]["partition_size"],
    log:
        "results/logs/plan_columns.log",
    conda:
        "../envs/phylotools.yaml"
    shell:
        "phylotools preprocess-init {input.alignments:q} --tree {input.tree:q}"
        " -f {input.reference:q} --work {output.work:q} --partition-size {params.size}"
        " {params.options} > {output.parts:q} 2> {log:q}"


rule part_of_columns:
    input:
        work="results/columns.work",
    output:
        touch("results/columns.done/{part}"),
    log:
        "results/logs/columns/{part}.log",
    threads: 1
    retries: 2
    conda:
        "../envs/phylotools.yaml"
    shell:
        "phylotools preprocess-partition {input.work:q} {wildcards.part} -@ {threads} 2> {log:q}"


rule columns:
    input:
        parts_of_columns,
        work="results/columns.work",
    output:
        store=directory("results/columns.store"),
        summary=f"results/summaries/{config['name']}.preprocess.json",
    log:
        "results/logs/columns.log",
    threads: 4
    conda:
        "../envs/phylotools.yaml"
    shell:
        "phylotools preprocess-finalise {input.work:q} -o {output.store:q} -@ {threads}"
        " --summary-json {output.summary:q} 2> {log:q}"

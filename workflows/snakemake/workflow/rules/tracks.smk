# A model to tracks of its reference, in parts.


checkpoint plan_tracks:
    input:
        model="results/model",
    output:
        work=directory("results/tracks.work"),
        parts="results/tracks.parts",
    params:
        options=config["tracks"]["options"],
        size=config["tracks"]["partition_size"],
    log:
        "results/logs/plan_tracks.log",
    conda:
        "../envs/phylotools.yaml"
    shell:
        "phylotools tracks-init -m {input.model:q} --work {output.work:q}"
        " --partition-size {params.size} {params.options} > {output.parts:q} 2> {log:q}"


rule part_of_tracks:
    input:
        work="results/tracks.work",
    output:
        touch("results/tracks.done/{part}"),
    log:
        "results/logs/tracks/{part}.log",
    threads: 4
    retries: 2
    conda:
        "../envs/phylotools.yaml"
    shell:
        "phylotools tracks-partition {input.work:q} {wildcards.part} -@ {threads} 2> {log:q}"


rule tracks:
    input:
        parts_of_tracks,
        work="results/tracks.work",
    output:
        folder=directory("results/tracks"),
        summary=f"results/summaries/{config['name']}.tracks.json",
    params:
        assembly=ASSEMBLY,
    log:
        "results/logs/tracks.log",
    threads: 4
    conda:
        "../envs/phylotools.yaml"
    shell:
        "phylotools tracks-finalise {input.work:q} -o {output.folder:q} {params.assembly}"
        " -@ {threads} --summary-json {output.summary:q} 2> {log:q}"

# A column store to a model. The run's folder is no output: a run that was killed goes on in it.


if config["train"]["config"]:

    rule plan_training:
        input:
            store="results/columns.store",
            given=config["train"]["config"],
        output:
            "results/model.toml",
        log:
            "results/logs/plan_training.log",
        conda:
            "../envs/phylotools.yaml"
        shell:
            "cp {input.given:q} {output:q} 2> {log:q}"

else:

    rule plan_training:
        input:
            store="results/columns.store",
        output:
            "results/model.toml",
        log:
            "results/logs/plan_training.log",
        conda:
            "../envs/phylotools.yaml"
        shell:
            "phylotools train --init {input.store:q} -o {output:q} 2> {log:q}"


rule train:
    input:
        store="results/columns.store",
        config="results/model.toml",
    output:
        summary=f"results/summaries/{config['name']}.train.json",
    params:
        run="results/run",
        options=config["train"]["options"],
    log:
        "results/logs/train.log",
    threads: 4
    retries: 2
    conda:
        "../envs/phylotools.yaml"
    shell:
        "phylotools train {input.config:q} -o {params.run:q} --resume -@ {threads}"
        " --summary-json {output.summary:q} {params.options} 2> {log:q}"


rule model:
    input:
        trained=f"results/summaries/{config['name']}.train.json",
        reference=config["reference"],
    output:
        directory("results/model"),
    params:
        run="results/run",
        name=config["name"],
        assembly=ASSEMBLY,
    log:
        "results/logs/model.log",
    conda:
        "../envs/phylotools.yaml"
    shell:
        "phylotools model export {params.run:q} -o {output:q} --name {params.name:q}"
        " {params.assembly} -f {input.reference:q} 2> {log:q}"

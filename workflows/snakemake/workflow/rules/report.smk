# What all steps say of themselves, as sections of a MultiQC report.


rule sections:
    input:
        expand(
            "results/summaries/{name}.{verb}.json",
            name=config["name"],
            verb=["preprocess", "train", "tracks"],
        ),
        expand("results/summaries/{sample}.annotate.json", sample=SAMPLES),
        expand("results/summaries/{sample}.evaluate.json", sample=JUDGED),
    output:
        directory("results/multiqc"),
    log:
        "results/logs/sections.log",
    conda:
        "../envs/phylotools.yaml"
    shell:
        "phylotools multiqc {input:q} -o {output:q} 2> {log:q}"


rule multiqc:
    input:
        "results/multiqc",
    output:
        "results/multiqc_report.html",
    log:
        "results/logs/multiqc.log",
    conda:
        "../envs/multiqc.yaml"
    shell:
        "multiqc {input:q} --filename {output:q} --force > {log:q} 2>&1"
